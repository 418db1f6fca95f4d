import {
  to = ipam_pool.corporate
  identity = {
    vrf  = "default"
    name = "corporate"
  }
}
