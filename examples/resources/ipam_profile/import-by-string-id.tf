import {
  to = ipam_profile.cluster
  id = "cluster"
}
