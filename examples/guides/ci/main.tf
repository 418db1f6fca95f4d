terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {
  default_labels = {
    managed_by = "terraform"
  }
}

variable "clusters" {
  type = map(object({ hosts = number }))
  default = {
    blue  = { hosts = 100 }
    green = { hosts = 50 }
  }
}

resource "ipam_allocation" "cluster" {
  for_each = var.clusters

  vpc   = "production"
  name  = each.key
  hosts = each.value.hosts
}

output "ranges" {
  value = { for name, cluster in ipam_allocation.cluster : name => cluster.blocks["primary"].cidr }
}
