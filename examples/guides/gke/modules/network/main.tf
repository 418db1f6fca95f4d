# Stands in for terraform-google-modules/network/google, so that the example can be applied without a project: it takes
# the same variables, checks that no two networks overlap, and makes nothing.

terraform {
  required_providers {
    ipam = {
      source = "ipam/ipam"
    }
  }
}

variable "project_id" {
  type = string
}

variable "network_name" {
  type = string
}

variable "subnets" {
  type = list(map(string))
}

variable "secondary_ranges" {
  type = map(list(object({ range_name = string, ip_cidr_range = string })))
}

resource "terraform_data" "subnet" {
  for_each = { for subnet in var.subnets : subnet.subnet_name => subnet }

  input = {
    primary   = each.value.subnet_ip
    secondary = var.secondary_ranges[each.key]
  }

  lifecycle {
    precondition {
      condition = !provider::ipam::overlaps(concat(
        [each.value.subnet_ip],
        var.secondary_ranges[each.key][*].ip_cidr_range,
      )...)
      error_message = "The ranges of a subnet must not overlap."
    }
  }
}

output "subnets_secondary_ranges" {
  value = [for subnet in var.subnets : terraform_data.subnet[subnet.subnet_name].output.secondary]
}
