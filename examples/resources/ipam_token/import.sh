# By name, or by id:
terraform import ipam_token.ci 'ci'
terraform import ipam_token.ci '0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11'
