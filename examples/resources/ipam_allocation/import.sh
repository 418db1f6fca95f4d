# By VPC and name, by id, or by the CIDR of one of its blocks:
terraform import ipam_allocation.cluster 'prod/eks-main'
terraform import ipam_allocation.cluster '0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11'
terraform import ipam_allocation.cluster '10.0.0.0/23'
