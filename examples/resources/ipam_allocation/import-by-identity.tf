import {
  to = ipam_allocation.cluster
  identity = {
    vpc  = "prod"
    name = "eks-main"
  }
}
