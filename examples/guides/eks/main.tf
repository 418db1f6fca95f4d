terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {}

variable "zones" {
  type    = list(string)
  default = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

# 300 nodes: a /23 for them, and a /18, 32 addresses for each, for their pods.
resource "ipam_allocation" "cluster" {
  vpc   = "production"
  name  = "eks-main"
  hosts = 300

  labels = {
    environment = "prod"
    region      = "eu-central-1"
  }
}

locals {
  nodes = ipam_allocation.cluster.blocks["primary"].cidr
  pods  = ipam_allocation.cluster.blocks["cgnat"].cidr

  # A quarter of the node range for the nodes of each zone; of the last quarter, a /28 of each zone for load balancers.
  quarter = ipam_allocation.cluster.prefix_length + 2
  subnets = provider::ipam::split(local.nodes, concat(
    [for zone in var.zones : local.quarter],
    [for zone in var.zones : 28],
  ))

  # The same of the pod range, for the pods of each zone.
  pod_subnets = [for i, zone in var.zones : provider::ipam::nth_block(
    local.pods, tonumber(split("/", local.pods)[1]) + 2, i,
  )]
}

# terraform-aws-modules/vpc/aws takes these variables: put source = "terraform-aws-modules/vpc/aws" and a version here.
module "vpc" {
  source = "./modules/vpc"

  name                  = "eks-main"
  cidr                  = local.nodes
  secondary_cidr_blocks = [local.pods]

  azs             = var.zones
  private_subnets = concat(slice(local.subnets, 0, 3), local.pod_subnets)
  public_subnets  = slice(local.subnets, 3, 6)

  enable_nat_gateway = true
}

# One for each zone, for the network plugin: pods get addresses of the pod range instead of the nodes'.
output "eni_configs" {
  value = { for i, zone in var.zones : zone => yamlencode({
    apiVersion = "crd.k8s.amazonaws.com/v1alpha1"
    kind       = "ENIConfig"
    metadata   = { name = zone }
    spec       = { subnet = module.vpc.private_subnets[i + 3] }
  }) }
}

output "node_subnets" {
  value = slice(local.subnets, 0, 3) # ["10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/25"]
}

output "pod_subnets" {
  value = local.pod_subnets # ["100.64.0.0/20", "100.64.16.0/20", "100.64.32.0/20"]
}
