// The services that the page calls, with the session's token on every call.
import { createClient, type Client, type Transport } from "@connectrpc/connect";
import { UserService } from "../gen/marketplace/auth/v1/user_service_pb.js";
import { CartService } from "../gen/marketplace/cart/v1/cart_service_pb.js";
import { CatalogService } from "../gen/marketplace/catalog/v1/catalog_service_pb.js";
import { OrderService } from "../gen/marketplace/order/v1/order_service_pb.js";
import { PaymentService } from "../gen/marketplace/payment/v1/payment_service_pb.js";
import { ReviewService } from "../gen/marketplace/review/v1/review_service_pb.js";
import { ServerService } from "../gen/marketplace/server/v1/server_service_pb.js";
import { TrackingService } from "../gen/marketplace/tracking/v1/tracking_service_pb.js";

export interface Clients {
  readonly cart: Client<typeof CartService>;
  readonly catalog: Client<typeof CatalogService>;
  readonly order: Client<typeof OrderService>;
  readonly payment: Client<typeof PaymentService>;
  readonly review: Client<typeof ReviewService>;
  readonly server: Client<typeof ServerService>;
  readonly tracking: Client<typeof TrackingService>;
  readonly user: Client<typeof UserService>;
}

export function clientsOn(transport: Transport): Clients {
  return {
    cart: createClient(CartService, transport),
    catalog: createClient(CatalogService, transport),
    order: createClient(OrderService, transport),
    payment: createClient(PaymentService, transport),
    review: createClient(ReviewService, transport),
    server: createClient(ServerService, transport),
    tracking: createClient(TrackingService, transport),
    user: createClient(UserService, transport),
  };
}
