# Two environments that each use all of 100.64.0.0/10 for their pods, while their nodes share one plan.
#
# The built-in profile node-pod names the pools primary and cgnat. A name is looked up in the VRF of the VPC first and
# then in the VRF default: each environment has a cgnat of its own, and primary is the one of default. So no two nodes
# anywhere have the same address, and pods of different environments, which never meet, may.

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

locals {
  # Nodes of each cluster, by environment.
  environments = {
    dev = {
      main    = 100
      nightly = 50
    }
    stage = {
      main = 500
    }
  }

  clusters = merge([
    for environment, clusters in local.environments : {
      for name, nodes in clusters : "${environment}/${name}" => {
        environment = environment
        name        = name
        nodes       = nodes
      }
    }
  ]...)
}

resource "ipam_vrf" "environment" {
  for_each = local.environments

  name        = each.key
  description = "Pods of ${each.key}"
}

resource "ipam_pool" "pods" {
  for_each = ipam_vrf.environment

  name              = "cgnat"
  vrf               = each.value.name
  ranges            = ["100.64.0.0/10"]
  min_prefix_length = 15
  max_prefix_length = 21
}

resource "ipam_vpc" "environment" {
  for_each = ipam_vrf.environment

  name = each.key
  vrf  = each.value.name

  labels = {
    environment = each.key
  }
}

resource "ipam_allocation" "cluster" {
  for_each = local.clusters

  vpc   = ipam_vpc.environment[each.value.environment].name
  name  = each.value.name
  hosts = each.value.nodes

  # Without it a cluster could be made before its pool, and would take the cgnat of default.
  depends_on = [ipam_pool.pods]
}

output "clusters" {
  description = "Node and pod ranges by environment and cluster."
  value = {
    for key, cluster in ipam_allocation.cluster : key => {
      nodes   = cluster.blocks["primary"].cidr
      pods    = cluster.blocks["cgnat"].cidr
      pod_vrf = cluster.blocks["cgnat"].vrf
    }
  }
}
