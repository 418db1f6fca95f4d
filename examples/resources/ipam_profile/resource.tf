# Nodes, 32 pod addresses for each, services, and IPv6: four blocks, all or none.
resource "ipam_profile" "cluster" {
  name        = "cluster"
  description = "A Kubernetes cluster with services and IPv6"

  members = [
    { role = "nodes", pool = "primary", min_prefix_length = 20, max_prefix_length = 26 },
    { role = "pods", pool = "cgnat", size_offset = -5 },
    # Always a /20, whatever the number of nodes.
    { role = "services", pool = "cgnat", min_prefix_length = 20, max_prefix_length = 20 },
    { role = "v6", pool = "v6", min_prefix_length = 64, max_prefix_length = 64 },
  ]
}

resource "ipam_allocation" "cluster" {
  vpc     = "prod"
  name    = "eks-main"
  hosts   = 500
  profile = ipam_profile.cluster.name
}
