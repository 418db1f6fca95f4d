import {
  to = ipam_profile.cluster
  identity = {
    name = "cluster"
  }
}
