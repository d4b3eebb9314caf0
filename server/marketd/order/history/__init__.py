"""What has happened to orders, step by step, kept as long as the orders: for those who look back, and for those who
follow all of their orders at once (order/live).
"""
