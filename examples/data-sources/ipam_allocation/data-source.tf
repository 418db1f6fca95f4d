# By its names.
data "ipam_allocation" "cluster" {
  vpc  = "prod"
  name = "eks-main"
}

# Whose address is this?
data "ipam_allocation" "owner" {
  contains = "100.64.3.17"
}

output "pod_cidr" {
  value = data.ipam_allocation.cluster.blocks["cgnat"].cidr
}

output "owner" {
  value = "${data.ipam_allocation.owner.vpc}/${data.ipam_allocation.owner.name}"
}
