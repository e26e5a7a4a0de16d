// [snippet]
val params = Map(
  DISUtils.PROPERTY_ENDPOINT -> "http://127.0.0.1:20004", // the host needs a dot
  DISUtils.PROPERTY_REGION_ID -> "region-1",
  DISUtils.PROPERTY_PROJECT_ID -> "YOUR_PROJECT_ID",
  DISUtils.PROPERTY_AK -> "YOUR_ACCESS_KEY",
  DISUtils.PROPERTY_SK -> "YOUR_SECRET_KEY",
  DisConsumerConfig.GROUP_ID_CONFIG -> "spark",
  DisConsumerConfig.AUTO_OFFSET_RESET_CONFIG -> "EARLIEST",
  DisConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG -> "false")
// [end]
