# By VRF and name, by id, or by name if only one VRF has such a pool:
terraform import ipam_pool.corporate 'default/corporate'
terraform import ipam_pool.corporate '0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11'
terraform import ipam_pool.corporate 'corporate'
