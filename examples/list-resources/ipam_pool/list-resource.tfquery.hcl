# All pools of a VRF.
list "ipam_pool" "dev" {
  provider = ipam

  config {
    vrf = "dev"
  }
}
