"""What the demo sells: `products.csv`, a Shopify product file of three made-up local shops, told apart by Vendor."""
