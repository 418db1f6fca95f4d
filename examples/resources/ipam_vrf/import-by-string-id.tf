import {
  to = ipam_vrf.dev
  id = "dev"
}
