import {
  to = ipam_vrf.dev
  identity = {
    name = "dev"
  }
}
