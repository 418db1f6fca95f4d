import {
  to = ipam_vpc.dev
  identity = {
    name = "dev"
  }
}
