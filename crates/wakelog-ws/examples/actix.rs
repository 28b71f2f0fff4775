//! A log over WebSocket in a server on actix-web: `cargo run --example actix --features actix`.

use actix_web::{App, HttpRequest, HttpServer, web};
use wakelog::Log;
use wakelog_ws::{Hub, Outgoing, Payload};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hub = Hub::new(Log::open("events")?)?;
    let event = Outgoing::to("room.42", Payload::text("the server is up"));
    hub.emit(event).await?;
    let upgrade = async |hub: web::Data<Hub>, request: HttpRequest, payload: web::Payload| {
        hub.actix_upgrade(request, payload).await
    };
    let app = move || {
        let app = App::new().app_data(web::Data::new(hub.clone()));
        app.route("/wakelog", web::get().to(upgrade))
    };
    println!("ws://127.0.0.1:8080/wakelog");
    HttpServer::new(app).bind("127.0.0.1:8080")?.run().await?;
    Ok(())
}
