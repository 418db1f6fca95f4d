# Not needed for an allocation in the VRF default: the server makes the VPC when it is first used.
resource "ipam_vpc" "dev" {
  name        = "dev"
  vrf         = "dev"
  description = "Clusters of the developers"

  labels = {
    environment = "dev"
  }
}

resource "ipam_allocation" "cluster" {
  vpc   = ipam_vpc.dev.name
  name  = "eks"
  hosts = 100
}
