terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {}

# By name: what is taken out of the list is destroyed, and nothing else changes.
variable "clusters" {
  type    = set(string)
  default = ["blue", "green", "red"]
}

resource "ipam_allocation" "cluster" {
  for_each = var.clusters

  vpc   = "production"
  name  = each.key
  hosts = 50
}

# Once, so that what is there keeps its ranges. They can be removed after the apply.
moved {
  from = ipam_allocation.cluster[0]
  to   = ipam_allocation.cluster["blue"]
}

moved {
  from = ipam_allocation.cluster[1]
  to   = ipam_allocation.cluster["green"]
}

moved {
  from = ipam_allocation.cluster[2]
  to   = ipam_allocation.cluster["red"]
}
