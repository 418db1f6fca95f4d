terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {}

# GKE gives each node a network for twice as many pods as may run on it: a /24 for the usual 110. So the range for pods is
# 8 bits larger than that for nodes, and there is one for services.
resource "ipam_profile" "gke" {
  name = "gke"

  members = [
    { role = "nodes", pool = "primary", min_prefix_length = 23, max_prefix_length = 26 },
    { role = "pods", pool = "cgnat", size_offset = -8 },
    { role = "services", pool = "cgnat", min_prefix_length = 20, max_prefix_length = 20 },
  ]
}

resource "ipam_allocation" "cluster" {
  vpc     = "production"
  name    = "gke-main"
  hosts   = 250
  profile = ipam_profile.gke.name

  labels = {
    environment = "prod"
    region      = "europe-west3"
  }
}

locals {
  ranges = { for role, block in ipam_allocation.cluster.blocks : role => block.cidr }
}

# terraform-google-modules/network/google takes these variables: put its source and a version here.
module "network" {
  source = "./modules/network"

  project_id   = "my-project"
  network_name = "production"

  subnets = [{
    subnet_name   = "gke-main"
    subnet_ip     = local.ranges["nodes"]
    subnet_region = "europe-west3"
  }]

  secondary_ranges = {
    gke-main = [
      { range_name = "pods", ip_cidr_range = local.ranges["pods"] },
      { range_name = "services", ip_cidr_range = local.ranges["services"] },
    ]
  }
}

# For google_container_cluster.
output "ip_allocation_policy" {
  value = {
    cluster_secondary_range_name  = module.network.subnets_secondary_ranges[0][0].range_name
    services_secondary_range_name = module.network.subnets_secondary_ranges[0][1].range_name
  }
}

output "nodes" {
  value = local.ranges["nodes"] # "10.0.0.0/24"
}

output "pods" {
  value = local.ranges["pods"] # "100.64.0.0/16"
}

output "services" {
  value = local.ranges["services"] # "100.65.0.0/20"
}
