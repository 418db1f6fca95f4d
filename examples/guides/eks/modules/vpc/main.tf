# Stands in for terraform-aws-modules/vpc/aws, so that the example can be applied without an account: it takes the same
# variables, checks what AWS would refuse, and makes nothing.

variable "name" {
  type = string
}

variable "cidr" {
  type = string

  validation {
    condition     = tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 28
    error_message = "A network of a VPC is a /16 to /28."
  }
}

variable "secondary_cidr_blocks" {
  type = list(string)

  validation {
    condition = alltrue([
      for cidr in var.secondary_cidr_blocks : tonumber(split("/", cidr)[1]) >= 16 && tonumber(split("/", cidr)[1]) <= 28
    ])
    error_message = "A network of a VPC is a /16 to /28."
  }
}

variable "azs" {
  type = list(string)
}

variable "private_subnets" {
  type = list(string)
}

variable "public_subnets" {
  type = list(string)
}

variable "enable_nat_gateway" {
  type    = bool
  default = false
}

resource "terraform_data" "subnet" {
  count = length(concat(var.private_subnets, var.public_subnets))

  input = concat(var.private_subnets, var.public_subnets)[count.index]
}

output "private_subnets" {
  value = [for i, cidr in var.private_subnets : "subnet-${terraform_data.subnet[i].id}"]
}
