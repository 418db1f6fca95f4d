# Every allocation of the VPC prod that a team has labelled, whoever made it: at most 100 unless limit says otherwise.
list "ipam_allocation" "prod" {
  provider = ipam
  limit    = 1000

  config {
    vpc    = "prod"
    labels = { environment = "prod" }
  }
}

# What lies in a part of the address space.
list "ipam_allocation" "inside" {
  provider         = ipam
  include_resource = true

  config {
    within = "10.0.0.0/16"
  }
}
