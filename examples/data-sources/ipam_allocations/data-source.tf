# All clusters of production, for the rules of a firewall.
data "ipam_allocations" "prod" {
  profile = "node-pod"
  labels  = { environment = "prod" }
}

output "pod_cidrs" {
  value = data.ipam_allocations.prod.allocations[*].blocks["cgnat"].cidr
}

# The fewest networks that cover all their nodes.
output "node_routes" {
  value = provider::ipam::summarize(data.ipam_allocations.prod.allocations[*].blocks["primary"].cidr)
}
