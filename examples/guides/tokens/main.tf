terraform {
  required_version = ">= 1.11"

  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

# The address and the key, which needs the role admin, come from IPAM_ENDPOINT and IPAM_API_KEY.
provider "ipam" {}

# The secret by token, as the secret store has them: TF_VAR_secrets, or an ephemeral resource of the store.
variable "secrets" {
  type      = map(string)
  ephemeral = true
}

variable "generations" {
  description = "The tokens of the pipeline that are valid. For a rotation there are two for a while."
  type        = set(string)
  default     = ["a"]
}

resource "ipam_pool" "team" {
  name   = "team"
  ranges = ["10.64.0.0/14"]
}

resource "ipam_token" "ci" {
  for_each  = var.generations
  name      = "ci-${each.key}"
  roles     = ["allocator"]
  secret_wo = var.secrets[each.key]

  # By id, so that a pool that is made anew is covered too.
  limits = {
    pools = [ipam_pool.team.id]
    vpcs  = ["team-*"]
  }
}

output "recognised_by" {
  value = { for key, token in ipam_token.ci : key => token.public_id }
}
