# One Kubernetes cluster of up to 500 nodes: a /23 for its nodes and, 5 bits larger, a /18 for their pods.
# `./demo` applies this. By hand: export IPAM_ENDPOINT and IPAM_API_KEY, then terraform init and apply.

terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

# The address and the key come from IPAM_ENDPOINT and IPAM_API_KEY.
provider "ipam" {}

resource "ipam_allocation" "cluster" {
  vpc   = "quickstart"
  name  = "cluster"
  hosts = 500

  labels = {
    environment = "dev"
  }
}

output "primary_cidr" {
  description = "For the nodes."
  value       = ipam_allocation.cluster.blocks["primary"].cidr
}

output "cgnat_cidr" {
  description = "For the pods."
  value       = ipam_allocation.cluster.blocks["cgnat"].cidr
}
