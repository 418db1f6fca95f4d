import {
  to = ipam_reservation.datacentre
  id = "10.0.240.0/20"
}
