terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {}

# Numbered: cluster 1 is whatever stands second in the list.
variable "clusters" {
  type    = list(string)
  default = ["blue", "green", "red"]
}

resource "ipam_allocation" "cluster" {
  count = length(var.clusters)

  vpc   = "production"
  name  = var.clusters[count.index]
  hosts = 50
}
