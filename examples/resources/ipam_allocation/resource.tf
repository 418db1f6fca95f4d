# A node range for 500 hosts, and a pod range 32 times that size.
resource "ipam_allocation" "cluster" {
  vpc   = "prod"
  name  = "eks-main"
  hosts = 500

  labels = {
    environment = "prod"
    region      = "eu-central-1"
  }

  description         = "Main cluster of the payments team"
  deletion_protection = true
}

# The same by size, once for each environment.
resource "ipam_allocation" "environment" {
  for_each = toset(["dev", "stage"])

  vpc           = each.key
  name          = "eks"
  prefix_length = 24
}

# A network that is in use already.
resource "ipam_allocation" "legacy" {
  vpc  = "legacy"
  name = "datacentre"
  cidr = "10.0.128.0/22"
}

# From the first pool that has room, away from what is in use at the other end of a tunnel.
resource "ipam_allocation" "database" {
  vpc           = "prod"
  name          = "database"
  prefix_length = 26
  pools         = ["databases", "primary"]
  exclude_cidrs = ["10.0.0.0/20"]
}

# From whichever pool has these labels and room.
resource "ipam_allocation" "batch" {
  vpc           = "prod"
  name          = "batch"
  prefix_length = 25

  pool_selector = {
    tier = "private"
  }
}

output "database_pool" {
  value = ipam_allocation.database.blocks["main"].pool
}

output "node_cidr" {
  value = ipam_allocation.cluster.blocks["primary"].cidr # such as 10.0.0.0/23
}

output "pod_cidr" {
  value = ipam_allocation.cluster.blocks["cgnat"].cidr # such as 100.64.0.0/18
}
