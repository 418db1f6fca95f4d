# What the provider ipam would answer, for `terraform test` without a server: copy this file into tests/mocks of your own
# configuration. What your configuration sets stays as it is; the rest is what stands here. A run that needs another
# answer says so with override_resource or override_data.

mock_resource "ipam_allocation" {
  defaults = {
    id            = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11"
    vrf           = "default"
    profile       = "node-pod"
    hosts         = 500
    prefix_length = 23
    cidr          = "10.0.0.0/23"
    blocks = {
      primary = { cidr = "10.0.0.0/23", pool = "primary", vrf = "default", usable = 507 }
      cgnat   = { cidr = "100.64.0.0/18", pool = "cgnat", vrf = "default", usable = 16379 }
    }
    effective_labels = {}
  }
}

mock_resource "ipam_pool" {
  defaults = {
    id                   = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c12"
    family               = "ipv4"
    parent_id            = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c13"
    ranges               = ["10.0.0.0/16"]
    range_prefix_lengths = [16]
    max_prefix_length    = 32
    effective_labels     = {}
  }
}

mock_resource "ipam_profile" {
  defaults = {
    id = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c14"
  }
}

mock_resource "ipam_reservation" {
  defaults = {
    id               = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c15"
    effective_labels = {}
  }
}

mock_resource "ipam_token" {
  defaults = {
    id        = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c18"
    public_id = "k3v9m2x7q0ab"
  }
}

mock_resource "ipam_vpc" {
  defaults = {
    id               = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c16"
    effective_labels = {}
  }
}

mock_resource "ipam_vrf" {
  defaults = {
    id               = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c17"
    effective_labels = {}
  }
}

mock_data "ipam_allocation" {
  defaults = {
    id                  = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11"
    vpc                 = "production"
    name                = "cluster-1"
    number              = 1
    vrf                 = "default"
    profile             = "node-pod"
    hosts               = 500
    prefix_length       = 23
    cidr                = "10.0.0.0/23"
    created_at          = "2026-01-31T12:00:00Z"
    deletion_protection = false
    labels              = {}
    blocks = {
      primary = { cidr = "10.0.0.0/23", pool = "primary", vrf = "default", usable = 507 }
      cgnat   = { cidr = "100.64.0.0/18", pool = "cgnat", vrf = "default", usable = 16379 }
    }
  }
}

mock_data "ipam_allocations" {
  defaults = {
    allocations = []
  }
}

mock_data "ipam_free" {
  defaults = {
    pool_id                    = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c12"
    vrf                        = "default"
    ranges                     = ["10.0.0.0/16"]
    prefix_length              = 24
    fits                       = 256
    fits_if_defragmented       = 256
    largest_free_prefix_length = 16
    free_addresses             = 65536
    cooling_addresses          = 0
    next                       = "10.0.0.0/24"
    advice                     = "There is room."
  }
}

mock_data "ipam_lookup" {
  defaults = {
    cidr    = "10.0.0.7/32"
    holders = []
    more    = false
    free    = true
    pools   = []
  }
}

mock_data "ipam_pool" {
  defaults = {
    id                         = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c12"
    name                       = "primary"
    vrf                        = "default"
    family                     = "ipv4"
    ranges                     = ["10.0.0.0/16"]
    min_prefix_length          = 20
    max_prefix_length          = 26
    reserved_addresses         = 5
    strategy                   = "best_fit"
    total_addresses            = 65536
    used_addresses             = 0
    utilisation                = 0
    largest_free_prefix_length = 16
    free                       = [{ prefix_length = 16, count = 1 }]
    created_at                 = "2026-01-31T12:00:00Z"
    labels                     = {}
  }
}

mock_data "ipam_pools" {
  defaults = {
    pools = []
  }
}

mock_data "ipam_preview" {
  defaults = {
    available     = true
    prefix_length = 23
    cidr          = "10.0.0.0/23"
    blocks = {
      primary = { cidr = "10.0.0.0/23", pool = "primary", vrf = "default", usable = 507 }
      cgnat   = { cidr = "100.64.0.0/18", pool = "cgnat", vrf = "default", usable = 16379 }
    }
  }
}

mock_data "ipam_profile" {
  defaults = {
    id          = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c14"
    name        = "node-pod"
    allocations = 0
    created_at  = "2026-01-31T12:00:00Z"
    members = [
      { role = "primary", pool = "primary", size_offset = 0, min_prefix_length = 20, max_prefix_length = 26 },
      { role = "cgnat", pool = "cgnat", size_offset = -5, min_prefix_length = 15, max_prefix_length = 21 },
    ]
  }
}

mock_data "ipam_profiles" {
  defaults = {
    profiles = []
  }
}

mock_data "ipam_reservation" {
  defaults = {
    id         = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c15"
    cidr       = "10.0.240.0/20"
    vrf        = "default"
    reason     = "Data centre"
    pools      = ["primary"]
    created_by = "admin"
    created_at = "2026-01-31T12:00:00Z"
    labels     = {}
  }
}

mock_data "ipam_reservations" {
  defaults = {
    reservations = []
  }
}

mock_data "ipam_token" {
  defaults = {
    id         = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c18"
    public_id  = "k3v9m2x7q0ab"
    name       = "ci"
    roles      = ["allocator"]
    created_by = "admin"
    created_at = "2026-01-31T12:00:00Z"
  }
}

mock_data "ipam_tokens" {
  defaults = {
    tokens = []
  }
}

mock_data "ipam_vpc" {
  defaults = {
    id          = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c16"
    name        = "production"
    vrf         = "default"
    allocations = 0
    created_at  = "2026-01-31T12:00:00Z"
    labels      = {}
  }
}

mock_data "ipam_vpcs" {
  defaults = {
    vpcs = []
  }
}

mock_data "ipam_vrf" {
  defaults = {
    id           = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c17"
    name         = "default"
    pools        = 2
    vpcs         = 0
    reservations = 0
    created_at   = "2026-01-31T12:00:00Z"
    labels       = {}
  }
}

mock_data "ipam_vrfs" {
  defaults = {
    vrfs = []
  }
}
