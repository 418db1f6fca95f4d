import {
  to = ipam_reservation.datacentre
  identity = {
    vrf  = "default"
    cidr = "10.0.240.0/20"
  }
}
