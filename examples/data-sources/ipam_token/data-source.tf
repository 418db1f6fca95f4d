data "ipam_token" "ci" {
  name = "ci"
}

output "ci_may" {
  value = data.ipam_token.ci.roles # ["allocator"]
}
