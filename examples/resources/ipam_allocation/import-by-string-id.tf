import {
  to = ipam_allocation.cluster
  id = "prod/eks-main"
}
