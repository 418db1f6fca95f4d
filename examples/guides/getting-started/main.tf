terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

# The address and the key come from IPAM_ENDPOINT and IPAM_API_KEY.
provider "ipam" {
  default_labels = {
    managed_by = "terraform"
  }
}

# A new server has the pools primary (10.0.0.0/16, for nodes) and cgnat (100.64.0.0/10, for pods).
resource "ipam_allocation" "cluster" {
  vpc   = "production"
  name  = "cluster-1"
  hosts = 500

  labels = {
    environment = "prod"
  }
}

# Of the node range: three subnets of a quarter each, and three small ones for gateways in what is left.
locals {
  quarter = ipam_allocation.cluster.prefix_length + 2
  subnets = provider::ipam::split(
    ipam_allocation.cluster.blocks["primary"].cidr,
    [local.quarter, local.quarter, local.quarter, 28, 28, 28],
  )
}

output "nodes" {
  value = ipam_allocation.cluster.blocks["primary"].cidr # "10.0.0.0/23"
}

output "pods" {
  value = ipam_allocation.cluster.blocks["cgnat"].cidr # "100.64.0.0/18"
}

output "subnets" {
  value = local.subnets # ["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/25", "10.0.1.128/28", "10.0.1.144/28", "10.0.1.160/28"]
}
