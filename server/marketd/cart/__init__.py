"""The cart: what a buyer or guest means to order, and what ordering it would cost. No stock is held here."""
