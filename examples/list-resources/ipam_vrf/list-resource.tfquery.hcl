# All VRFs, default too.
list "ipam_vrf" "all" {
  provider = ipam
}
