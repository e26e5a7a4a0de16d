# [snippet]
terraform {
  required_providers {
    huaweicloud = {
      source = "huaweicloud/huaweicloud"
    }
  }
}

provider "huaweicloud" {
  region                  = "region-1"
  access_key              = "YOUR_AK"
  secret_key              = "YOUR_SK"
  auth_url                = "http://127.0.0.1:20004/v3"
  skip_check_website_type = true
  endpoints = {
    dis = "http://127.0.0.1:20004"
    iam = "http://127.0.0.1:20004"
  }
}

resource "huaweicloud_dis_stream" "orders" {
  stream_name     = "orders"
  partition_count = 1
}
# [end]
