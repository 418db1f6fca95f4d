terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

# The configuration that is tested.

variable "environment" {
  type = string
}

variable "hosts" {
  type = number
}

resource "ipam_allocation" "cluster" {
  vpc   = var.environment
  name  = "main"
  hosts = var.hosts

  labels = {
    environment = var.environment
  }
}

output "node_subnets" {
  value = [for i in range(2) : provider::ipam::nth_block(
    ipam_allocation.cluster.blocks["primary"].cidr, ipam_allocation.cluster.prefix_length + 1, i,
  )]
}

output "pods" {
  value = ipam_allocation.cluster.blocks["cgnat"].cidr
}
