# What is in the secret store, from TF_VAR_ci_secret or from the store's own ephemeral resource. Once it is another one
# there, the plan says so, and the token gets that.
variable "ci_secret" {
  type      = string
  ephemeral = true
}

# For the pipeline of one team: its VPCs, from two pools, and so many addresses of one of them.
resource "ipam_token" "ci" {
  name        = "ci"
  description = "Pipeline of the network team"
  roles       = ["allocator"]
  expires_at  = "2099-01-31T00:00:00Z"

  limits = {
    pools  = ["default/primary", "default/cgnat"]
    vpcs   = ["network-*"]
    quotas = { "default/primary" = 4096 }
  }

  secret_wo = var.ci_secret
}
