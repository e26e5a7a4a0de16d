# [snippet]
terraform {
  required_providers {
    opentelekomcloud = {
      source = "opentelekomcloud/opentelekomcloud"
    }
  }
}

provider "opentelekomcloud" {
  auth_url    = "http://127.0.0.1:20004/v3"
  tenant_name = "region-1"
  domain_name = "default" # the account; its name is this in open mode
  access_key  = "YOUR_AK"
  secret_key  = "YOUR_SK"
}

resource "opentelekomcloud_dis_stream_v2" "orders" {
  name            = "orders"
  partition_count = 1
}
# [end]
