data "ipam_profile" "built_in" {
  name = "node-pod"
}

output "roles" {
  value = data.ipam_profile.built_in.members[*].role
}
