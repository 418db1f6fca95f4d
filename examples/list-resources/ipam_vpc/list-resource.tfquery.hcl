# All VPCs with a label.
list "ipam_vpc" "production" {
  provider = ipam

  config {
    labels = { environment = "prod" }
  }
}
