# All profiles, the built-in ones too.
list "ipam_profile" "all" {
  provider = ipam
}
