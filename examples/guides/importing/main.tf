terraform {
  required_version = ">= 1.8"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

provider "ipam" {}

# A network that was in use before there was ipam: its very addresses are asked for.
resource "ipam_allocation" "legacy" {
  vpc  = "legacy"
  name = "billing"
  cidr = "10.0.128.0/22"

  deletion_protection = false # true once the plan is as you want it

  # It is cut from that pool, which is to be destroyed after it.
  depends_on = [ipam_pool.primary]
}

# What must never be handed out, although no allocation has it.
resource "ipam_reservation" "datacentre" {
  cidr   = "10.0.240.0/20"
  reason = "Data centre in Frankfurt, reached over the tunnel"
}

# What is there already is imported: the built-in pool, and a cluster that a script has allocated.
import {
  to = ipam_pool.primary
  id = "default/primary"
}

resource "ipam_pool" "primary" {
  name                  = "primary"
  description           = "Node ranges"
  ranges                = ["10.0.0.0/16"]
  min_prefix_length     = 20
  max_prefix_length     = 26
  default_prefix_length = 24

  lifecycle {
    prevent_destroy = false # true for a pool that others use
  }
}

import {
  to = ipam_allocation.by_script
  id = "production/by-script"
}

resource "ipam_allocation" "by_script" {
  vpc   = "production"
  name  = "by-script"
  hosts = 100

  depends_on = [ipam_pool.primary]
}
