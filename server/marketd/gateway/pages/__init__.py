"""The pages that come with the gateway, as they are served: third-party scripts with their licences among them."""
