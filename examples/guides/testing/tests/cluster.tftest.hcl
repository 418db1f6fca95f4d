# No server is needed: what the provider would answer is in tests/mocks/ipam.tfmock.hcl.
mock_provider "ipam" {
  source = "./tests/mocks"
}

variables {
  environment = "dev"
  hosts       = 500
}

run "halves_of_the_node_range" {
  assert {
    condition     = output.node_subnets == ["10.0.0.0/24", "10.0.1.0/24"]
    error_message = "There should be two halves of the mocked 10.0.0.0/23."
  }

  assert {
    condition     = provider::ipam::contains("100.64.0.0/10", output.pods)
    error_message = "Pods live in 100.64.0.0/10."
  }
}

run "labels_follow_the_environment" {
  variables {
    environment = "stage"
  }

  assert {
    condition     = ipam_allocation.cluster.labels["environment"] == "stage"
    error_message = "The label must say which environment it is."
  }
}
