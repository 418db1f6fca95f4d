# All tokens, whoever made them, without their secrets.
list "ipam_token" "all" {
  provider = ipam
}
