import {
  to = ipam_vpc.dev
  id = "dev"
}
